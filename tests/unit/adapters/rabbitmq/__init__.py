"""RabbitMQ's adapters without a broker."""
