"""Public tasks: did the fine-tune damage anything?"""
