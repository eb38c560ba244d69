"""What qgait compiles for: processors, the parts that they are in, NPUs, and the machines that QEMU has."""
