"""What users of other toolkits have asked for in public, as tests: a file a requirement.

Each test says in its first lines what was asked, and in which threads; ``test_threads.py`` lists all threads.
"""
