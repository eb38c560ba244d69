"""What makes a bundle: kernels by TVM, command streams by Vela, the memory plan, generated C, linking."""
