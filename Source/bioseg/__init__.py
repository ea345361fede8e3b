"""Bioseg: screen, segment and classify biomedical images, with evidence for every model that serves them."""
