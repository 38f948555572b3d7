"""How it is operated: metrics, logs, doctor, explain, and caps over several processes; each fault is made for real."""
