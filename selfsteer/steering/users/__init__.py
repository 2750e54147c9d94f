"""User vectors: what a user tends to say, as a steering vector that has to predict the user.

The objective is the third seed's: predict user behaviour. A vector is derived from what a user
wrote, chose and rated, and is worth something only where it makes what the same user does next
more likely than the population's vector does.
"""
