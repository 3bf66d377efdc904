"""How fast a run is and what it costs: measurements and forecasts."""
