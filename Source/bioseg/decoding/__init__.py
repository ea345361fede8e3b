"""From the bytes that somebody sends to an image: in this process (`formats`) or in a confined one (`confined`)."""
