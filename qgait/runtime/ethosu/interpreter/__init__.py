"""An interpreter of Ethos-U55 and U65 command streams in numpy: what Vela's public sources say the hardware does."""
