"""A client library for accessing SignStash Integration REST API"""
