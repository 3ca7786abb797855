"""Bad inputs of users, stage by stage, each with what its message must say.

Every module holds a table `CASES`. A case says what is wrong, how it is made and what meets it; the message must name the
place (the file, key or column), what was found there, and what is to be done.
"""
