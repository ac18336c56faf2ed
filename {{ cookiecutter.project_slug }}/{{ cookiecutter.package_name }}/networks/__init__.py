"""Networks: residual layers, and what is built from them."""
