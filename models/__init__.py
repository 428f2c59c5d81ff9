"""Models: what each is made of, the rows it reads, and in nets/ its torch module.

The modules here import no torch; those of nets/ do, and neither knows who trains.
"""
