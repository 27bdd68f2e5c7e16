"""RabbitMQ through aio-pika: quorum queues carry pointers, a topic exchange carries events.

May import ports and libraries only. Importing this package imports no aio-pika; its modules do.
"""
