# SPDX-License-Identifier: Apache-2.0
"""Fuzzing of everything that a user's file can be: changed files must end in a value or in one clear message.

`seeds` are small files of every form, `changes` alter them, `inputs` draws which change of which file comes next,
`forms` reads them as the product does, `server` does that in a process with limits, `campaign` judges and minimises.
"""
