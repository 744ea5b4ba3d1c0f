"""The recorder in other tools' hands: a callback for any loop, for Lightning, and loggers.

`ibfast.integrations.loop`, `.lightning`, `.tensorboard` and `.wandb` are imported by their names:
each needs what it is called after, and an extra of the same name installs it.
"""
