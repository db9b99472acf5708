"""The maths verifier: compares the boxed answer of a response with the ground truth."""
