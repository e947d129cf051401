# SPDX-License-Identifier: Apache-2.0
"""What explains a failure: tracks in the waves in the network's own terms, a page, the first screen in the terminal.

All of it is made after the run, from the waves of the window around the failure and from what the bench left beside
them (`tb.debug`): the simulation itself pays nothing.
"""
