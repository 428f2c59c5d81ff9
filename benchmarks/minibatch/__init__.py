"""`reviewmill bench minibatch`: accuracy at large batch sizes under rules of scaling."""
