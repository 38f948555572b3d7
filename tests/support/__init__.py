"""What the tests stand on: servers, databases, and what the machine has or lacks."""
