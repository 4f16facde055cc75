"""Everything that is remembered, in MongoDB. The only package that knows Motor."""
