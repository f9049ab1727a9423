"""Running policies side by side on a scenario: jobs in processes, results kept on disk, one result for all."""
