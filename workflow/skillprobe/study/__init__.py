"""The study's config: checked, completed, planned, and cut into what each rule depends on."""
