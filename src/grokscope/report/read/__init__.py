"""Plain data for a report: runs gathered, judged and summarized, without drawing."""
