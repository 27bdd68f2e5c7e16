"""RabbitMQ for tests: a private broker that may be stopped, and what tests look at it with."""
