"""What travels with an image and is not in it: its list of components, and how it was made.

Both are attached as referrers (`attach`): the image and its digest stay what they are.
"""
