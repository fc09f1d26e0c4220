"""How bright a colour is: the weights of R, G and B by ITU-R BT.601."""

LUMA = (0.299, 0.587, 0.114)
