"""Launchers that send runs elsewhere: to processes of this machine, to SLURM, or to Ray."""
