"""Programs that the Dockerfile carries, as they run in it. Nothing imports them; `dockerfile` reads their text.

They need Python 3.9 alone, and hold no single quote: the Dockerfile quotes each line with those.
"""
