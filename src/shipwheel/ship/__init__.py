"""Image → layout, archive, registry or engine. Makes no image.

`output` writes files, `push` sends to registries, `previous` learns what registries have, `explain` says
why layers are what they are.
"""
