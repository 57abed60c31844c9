"""Programs that are measured beside yolean, predictors and servers, for environments of their own."""
