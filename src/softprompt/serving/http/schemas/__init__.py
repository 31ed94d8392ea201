"""What bodies and answers look like: the OpenAPI document is made of these.

Nothing here knows the engine.
"""
