"""Live statistics: what they come to, what they cost, who is told and when."""
