"""What people read: the OpenAPI document, the interactive reference, and the API pages in each language.

All three are made of the routes themselves, so that none can drift from what is served.
"""
