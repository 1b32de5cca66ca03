"""Programs that the Dockerfile carries, as they run in it. Nothing imports them; `dockerfile` reads their text.

They need Python 3.9 and what is named on their first lines, nothing of ours.
"""
