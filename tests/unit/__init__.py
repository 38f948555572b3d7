"""The pure core, without a database: one file for each module, and the doorbell's protocol as a model."""
