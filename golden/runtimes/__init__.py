"""The frameworks' own runtimes behind the golden models' call `trace`: what a graph is compared with."""
