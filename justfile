# What CI runs is `just check`.

# Everything that a change must pass.
check:
    .ci/run

# Format all code.
fmt:
    cargo fmt --all

# Lint as CI does.
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# All tests.
test:
    cargo test --workspace

# The demonstration.
demo:
    cargo run --release -- demo

# Judging throughput and memory against a mock provider.
bench-eval:
    cargo bench -p assize --bench eval

# Ingestion throughput, memory and delay.
bench-ingest:
    cargo bench -p assize --bench ingest

# Accept new snapshots after reading them.
snapshots:
    INSTA_UPDATE=always cargo test --workspace
