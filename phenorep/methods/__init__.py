"""One file per recipe: how an encoder is made."""
