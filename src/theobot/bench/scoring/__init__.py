"""What single answers earn and show, without a judge and without a model."""
