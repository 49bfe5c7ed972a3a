"""What guards an answer: gate, predictions, power-scaling, influence, tipping points."""
