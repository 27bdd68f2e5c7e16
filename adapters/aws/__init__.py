"""Amazon's services through boto3: S3 keeps blobs, SQS carries pointers and events, EventBridge events and wake-ups.

May import ports and libraries only. Importing this package imports no boto3; its modules do.
"""
