"""SEG and SR of a reading, and the checker that both must pass before they may leave."""
