-- What the dashboard subscribes to, and looks a trip up in.
CREATE INDEX IF NOT EXISTS model_errors_by_model ON model_errors (model);
CREATE DEFAULT INDEX IF NOT EXISTS ON prediction_lag;
CREATE DEFAULT INDEX IF NOT EXISTS ON trip_counts;
CREATE INDEX IF NOT EXISTS model_errors_5m_by_model ON model_errors_5m (model, bucket);
CREATE INDEX IF NOT EXISTS model_errors_by_hour_by_model ON model_errors_by_hour (model, hour);
CREATE INDEX IF NOT EXISTS model_errors_by_distance_by_model ON model_errors_by_distance (model, from_km);
CREATE INDEX IF NOT EXISTS best_models_by_window ON best_models (window_end);
CREATE INDEX IF NOT EXISTS trip_starts_by_trip ON trip_starts (trip_id);
CREATE INDEX IF NOT EXISTS trip_ends_by_trip ON trip_ends (trip_id);
CREATE INDEX IF NOT EXISTS pick_ups_by_trip ON pick_ups (trip_id);
CREATE INDEX IF NOT EXISTS predictions_by_trip ON predictions (trip_id);
