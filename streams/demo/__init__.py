"""The input of `travelos demo`: real places, and travellers generated from a seed who live among them."""
