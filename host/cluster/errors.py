"""What goes wrong with a cluster, as one line for the user."""


class ClusterError(Exception):
    """A cluster that cannot go on; the message names the chip and what it said."""
