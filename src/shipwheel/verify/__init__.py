"""The five promises, checked on any Python image, with evidence. Changes nothing."""
