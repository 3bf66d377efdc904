"""Network layers and what makes them fast; nothing here knows an agent."""
