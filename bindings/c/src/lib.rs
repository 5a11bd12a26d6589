//! The CameraManager login.
