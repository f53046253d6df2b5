"""What models are shown: single images, grids, mosaics; pools of confident images; views and windows."""
