"""What a run leaves on disk: shards, manifest, examples, aggregates."""
