"""Holiday notices as published, and the program that generates them."""
