"""The engine on a real server: election, doorbell, cursor, retention, replay. Everything but the transports."""
