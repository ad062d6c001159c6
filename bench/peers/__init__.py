"""What our figures are compared with, doing the same work in the same run."""
